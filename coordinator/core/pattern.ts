/** Patterns of worker ids, in which `*` stands for any characters. */

/** True if the pattern stands for the text. */
export function fits(pattern: string, text: string): boolean {
  return compilePattern(pattern)(text);
}

/**
 * The pattern as a test of texts. Between its stars are pieces, which must follow each other in the text: taking the first place of
 * each is never wrong, so a text is gone through once, whatever the pattern.
 */
export function compilePattern(pattern: string): (text: string) => boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return (text) => text === pattern;
  return (text) => {
    if (!text.startsWith(first)) return false;
    let at = first.length;
    for (const piece of rest) {
      const found = text.indexOf(piece, at);
      if (found === -1) return false;
      at = found + piece.length;
    }
    return text.length - last.length >= at && text.endsWith(last);
  };
}
