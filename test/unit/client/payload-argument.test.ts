import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { checkPayload, readPayloadArgument } from '../../../client/cli/payload-argument.js';
import { CliError } from '../../../client/cli/exit-status.js';

const noStdin = () => {
  throw new Error('stdin was opened');
};
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** The error of something that is refused. */
async function refusal(work: () => Promise<unknown>): Promise<CliError> {
  const error = await work().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CliError)) throw new Error(`not refused: ${String(error)}`);
  return error;
}

describe('readPayloadArgument', () => {
  it('should send the text as it was written', async () => {
    expect(text(await readPayloadArgument(' {"n": 1.0} ', noStdin))).toBe(' {"n": 1.0} ');
    expect(await readPayloadArgument(undefined, noStdin)).toBeUndefined();
  });

  it('should read stdin for -', async () => {
    const stdin = () => Readable.from([Buffer.from('{"a"'), Buffer.from(':1}')]);
    expect(text(await readPayloadArgument('-', stdin))).toBe('{"a":1}');
  });

  it('should stop reading at the bound', async () => {
    let read = 0;
    const endless = function* () {
      for (;;) {
        read += 1;
        yield Buffer.alloc(65_536, '1');
      }
    };
    const error = await refusal(() => readPayloadArgument('-', () => Readable.from(endless())));
    expect(error.exitCode).toBe(2);
    expect(error.message).toContain('more than 1048576');
    expect(read).toBeLessThan(64);
  });

  it.each([
    ['@', 'without a file name'],
    ['@/does/not/exist.json', '/does/not/exist.json'],
    ['@.', 'EISDIR'],
    ['{a:1}', 'line 1, column 2'],
    ['', 'empty'],
    [`"${'x'.repeat(1_048_575)}"`, '1048577 bytes'],
  ])('should refuse with exit status 2: %.40j', async (argument, said) => {
    const error = await refusal(() => readPayloadArgument(argument, noStdin));
    expect(error.exitCode).toBe(2);
    expect(error.message).toContain(said);
  });
});

describe('checkPayload', () => {
  it('should accept exactly the bound', () => {
    const bytes = Buffer.from(`"${'x'.repeat(1_048_574)}"`);
    expect(checkPayload(bytes, 'it')).toBe(bytes);
  });

  it('should drop a byte order mark and refuse what is not UTF-8', () => {
    expect(text(checkPayload(Buffer.from('\uFEFF1'), 'it'))).toBe('1');
    expect(() => checkPayload(Buffer.from([0x22, 0xff, 0x22]), 'the file x')).toThrow('the file x is not UTF-8');
  });
});
