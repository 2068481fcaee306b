/** dynalite without a socket: an operation and its JSON body in, status and JSON body out. */
import { EventEmitter } from 'node:events'
import dynalite from 'dynalite'

export interface Reply {
  status: number
  body: string
}
export type Ask = (operation: string, body: string) => Promise<Reply>

const HEADERS = {
  'content-type': 'application/x-amz-json-1.0',
  authorization:
    'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=x',
  'x-amz-date': '20260101T000000Z',
}

export const openDynalite = (): Ask => {
  const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
  return (operation, body) =>
    new Promise((resolve) => {
      const headers = { ...HEADERS, 'x-amz-target': `DynamoDB_20120810.${operation}` }
      const request = Object.assign(new EventEmitter(), { method: 'POST', url: '/', headers })
      const response = {
        statusCode: 200,
        setHeader: () => {},
        end: (text: string) => resolve({ status: response.statusCode, body: text }),
      }
      server.emit('request', request, response)
      request.emit('data', Buffer.from(body))
      request.emit('end')
    })
}
