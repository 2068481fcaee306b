// Stands in for the AWS command line where there is none: `node aws.mjs SERVICE OPERATION [--option value]…` makes the same
// call, prints the answer as JSON, and fails with the same words. It knows what the scripts here ask for, and little else.
import { readFileSync } from 'node:fs'

const CLIENTS = {
  events: ['eventbridge', 'EventBridgeClient'],
  lambda: ['lambda', 'LambdaClient'],
  ses: ['ses', 'SESClient'],
  sns: ['sns', 'SNSClient'],
  sqs: ['sqs', 'SQSClient'],
}

const [service = '', operation = '', ...options] = process.argv.slice(2)

/** create-topic → CreateTopic, as the APIs write it. */
const pascal = (words) => words.replace(/(^|-)([a-z])/g, (_match, _dash, letter) => letter.toUpperCase())

/** `fileb://` is what the file holds; numbers and JSON are what they look like, as no name here looks like one. */
const valueIn = (text) => {
  if (text.startsWith('fileb://')) return readFileSync(text.slice('fileb://'.length))
  return /^(\d+$|[{[])/.test(text) ? JSON.parse(text) : text
}

const readInput = () => {
  const input = {}
  for (let i = 0; i < options.length; i += 2) {
    const [name, value] = [options[i], options[i + 1]]
    if (!name?.startsWith('--') || value === undefined) fail(`expected --option value, not ${name} ${value ?? ''}`)
    input[pascal(name.slice(2))] = valueIn(value)
  }
  // The command line's own spelling of Code={ZipFile=…}.
  if (operation === 'create-function') {
    const { ZipFile, ...rest } = input
    return { ...rest, Code: { ZipFile } }
  }
  return input
}

const fail = (message) => {
  console.error(message)
  process.exit(254)
}

const load = async (name) => {
  try {
    return await import(`@aws-sdk/client-${name}`)
  } catch (error) {
    if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error
    return fail('The AWS SDK is missing: run `npm ci` at the top of the repository, or install the aws command line.')
  }
}

const [name, client] = CLIENTS[service] ?? fail(`unknown service "${service}"`)
const sdk = await load(name)
const Command = sdk[`${pascal(operation)}Command`] ?? fail(`${service} has no operation "${operation}"`)
try {
  // Region, credentials and endpoint come from the environment, as they do for the command line.
  const { $metadata, ...answer } = await new sdk[client]({}).send(new Command(readInput()))
  if (Object.keys(answer).length > 0) console.log(JSON.stringify(answer, null, 4))
} catch (error) {
  fail(`An error occurred (${error.name}) when calling the ${pascal(operation)} operation: ${error.message}`)
}
