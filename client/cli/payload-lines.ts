/** One line of an input, without its end. */
export interface PayloadLine {
  /** Counted from 1. */
  readonly number: number;
  /** How many bytes of the input it took, its end included. */
  readonly inputBytes: number;
  /** What is in it; undefined if that is more than the bound: such a line is read over, not kept. */
  readonly content: Buffer | undefined;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Cuts an input into lines, whatever its pieces. Holds one piece and one line, however long the input and its lines are; asks for
 * the next piece when the lines of the last have been taken.
 *
 * @param maxBytes bound of one line
 */
export async function* payloadLines(
  input: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<PayloadLine, void, undefined> {
  let parts: Buffer[] = [];
  let partsBytes = 0;
  let number = 0;
  const take = (part: Buffer): void => {
    partsBytes += part.byteLength;
    // A carriage return before the line's end is not part of it.
    if (partsBytes > maxBytes + 1) parts = [];
    else parts.push(part);
  };
  const line = (endBytes: number): PayloadLine => {
    const whole = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    const content = whole?.at(-1) === CARRIAGE_RETURN ? whole.subarray(0, -1) : whole;
    const isWhole = partsBytes <= maxBytes + 1 && (content?.byteLength ?? 0) <= maxBytes;
    const inputBytes = partsBytes + endBytes;
    parts = [];
    partsBytes = 0;
    number += 1;
    return { number, inputBytes, content: isWhole ? content : undefined };
  };
  for await (const piece of input) {
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, start)) {
      take(piece.subarray(start, end));
      start = end + 1;
      yield line(1);
    }
    if (start < piece.byteLength) take(piece.subarray(start));
  }
  if (partsBytes > 0) yield line(0);
}
