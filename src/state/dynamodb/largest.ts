/** DynamoDB takes items of 400 KB, names counted; the rest is for what claims add. Bytes. */
export const LARGEST_ITEM = 396 * 1024
/** Of what is new: what it becomes on its way (a retry, a dead letter) is a little larger, and must not fail for that. Bytes. */
export const LARGEST_ENTRY = 380 * 1024
/** Of a record's JSON: its columns stand beside it. Bytes. */
export const LARGEST_RECORD = LARGEST_ENTRY - 4096
/** In one transaction. */
export const MOST_ITEMS = 100
