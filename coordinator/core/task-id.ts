const UUID_V7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** When a UUID of version 7 says that it was made, in milliseconds since 1970; null for any other text. */
export function uuidV7Ms(taskId: string): number | null {
  const match = UUID_V7.exec(taskId);
  return match === null ? null : Number.parseInt(`${match[1]}${match[2]}`, 16);
}
