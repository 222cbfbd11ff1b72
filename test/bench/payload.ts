/** What every task of the benchmark is given and gives back: a string of this length, and it as JSON text of 128 bytes. */
export const PAYLOAD_TEXT = 'x'.repeat(126);
/** The 128 bytes. */
export const PAYLOAD = new TextEncoder().encode(JSON.stringify(PAYLOAD_TEXT));
