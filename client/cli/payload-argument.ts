import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { CliError, EXIT, usageError } from './exit-status.js';
import { PAYLOAD_NOT_JSON } from '../../proto/payload.js';
import { MAX_PAYLOAD_BYTES } from '../rpc.js';
import { jsonPayload, PayloadError, payloadTooLarge } from './json-payload.js';

const QUOTING =
  'In a shell, put single quotes around JSON: remuda submit echo \'{"hello":"world"}\'. ' +
  'Longer JSON is easier from a file (@payload.json) or from a pipe (-).';

/**
 * The payload that a command line names, as UTF-8 JSON: the argument itself, `@FILE`, or `-` for stdin. Undefined without an
 * argument.
 *
 * @throws CliError with exit status 2 for a file that cannot be read, more than 1 MiB, text that is not UTF-8 or not JSON
 */
export async function readPayloadArgument(
  argument: string | undefined,
  stdin: () => Readable,
): Promise<Uint8Array | undefined> {
  if (argument === undefined) return undefined;
  if (argument === '-') return checkPayload(await readBounded(stdin(), 'stdin'), 'stdin');
  if (argument.startsWith('@')) {
    const path = argument.slice(1);
    if (path === '') throw usageError('the payload is "@" without a file name; write @payload.json');
    return checkPayload(await readBounded(createReadStream(path), path), `the file ${path}`);
  }
  return checkPayload(Buffer.from(argument), 'the payload');
}

/**
 * The bytes, if they are one JSON value within the bound.
 *
 * @param source what to call them in the message
 * @throws CliError with exit status 2
 */
export function checkPayload(bytes: Uint8Array, source: string): Uint8Array {
  try {
    return jsonPayload(bytes, source);
  } catch (error) {
    throw error instanceof PayloadError ? refused(error) : error;
  }
}

function refused(error: PayloadError): CliError {
  const hint = error.reason === PAYLOAD_NOT_JSON ? `\n${QUOTING}` : '';
  return new CliError(EXIT.usage, `${error.message}${hint}`, { cause: error });
}

async function readBounded(stream: Readable, source: string): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.byteLength;
      if (size > MAX_PAYLOAD_BYTES) throw refused(payloadTooLarge(source, `more than ${MAX_PAYLOAD_BYTES}`));
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const message = `the payload cannot be read from ${source}: ${why}; check the path, or pass the JSON itself`;
    throw new CliError(EXIT.usage, message, { cause: error });
  }
  return Buffer.concat(chunks);
}
