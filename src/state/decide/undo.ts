/** How to take back what the running commit has changed in memory, newest last. */
export class Undo {
  readonly #steps: (() => void)[] = []
  push(step: () => void): void {
    this.#steps.push(step)
  }
  /** The commit stands. */
  keep(): void {
    this.#steps.length = 0
  }
  /** The commit falls: nothing of it was written yet, so memory is all there is to undo. */
  back(): void {
    for (let i = this.#steps.length - 1; i >= 0; i--) this.#steps[i]!()
    this.#steps.length = 0
  }
}
