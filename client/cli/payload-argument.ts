import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { CliError, EXIT, usageError } from './exit-status.js';
import { MAX_PAYLOAD_BYTES } from '../rpc.js';
import { findJsonFault } from './json-fault.js';

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
  if (bytes.byteLength > MAX_PAYLOAD_BYTES) throw tooLarge(source, `${bytes.byteLength}`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new CliError(
      EXIT.usage,
      `${source} is not UTF-8 text, which JSON must be; save it as UTF-8, or submit the path of a file that the worker reads`,
      { cause: error },
    );
  }
  // Editors put a byte order mark in front, which is no JSON.
  if (text.startsWith('\uFEFF')) return checkPayload(bytes.subarray(3), source);
  if (text.trim() === '') throw usageError(`${source} is empty; write null for no payload. ${QUOTING}`);
  const fault = findJsonFault(text);
  if (fault === undefined) return bytes;
  const { line, column, found } = fault;
  throw usageError(`${source} is no JSON: ${found} at line ${line}, column ${column} cannot stand there.\n${QUOTING}`);
}

async function readBounded(stream: Readable, source: string): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.byteLength;
      if (size > MAX_PAYLOAD_BYTES) throw tooLarge(source, `more than ${MAX_PAYLOAD_BYTES}`);
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

function tooLarge(source: string, bytes: string): CliError {
  return usageError(
    `${source} has ${bytes} bytes; a payload's bound is ${MAX_PAYLOAD_BYTES}. Put the data where the worker can read it, and ` +
      'submit its path',
  );
}
