/** The name of an enum's value as the contract's JSON has it without its prefix (`SUCCEEDED`); unknown ones by number. */
export function enumName(names: Readonly<Record<number, string>>, value: number): string {
  return names[value] ?? `UNKNOWN(${value})`;
}
