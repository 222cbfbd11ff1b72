/** A count as people read it: 1,234. The same everywhere, whatever the machine's language. */
export function figure(number: number): string {
  return number.toLocaleString('en-US');
}
