/** Patterns of worker ids, in which `*` stands for any characters. */

/**
 * True if the pattern stands for the text. Looks back to the last star only, so that no pattern takes more than the product of
 * both lengths.
 */
export function fits(pattern: string, text: string): boolean {
  let at = 0;
  let read = 0;
  let star = -1;
  let starRead = 0;
  while (read < text.length) {
    if (pattern[at] === '*') {
      star = at;
      starRead = read;
      at += 1;
    } else if (pattern[at] === text[read]) {
      at += 1;
      read += 1;
    } else if (star >= 0) {
      starRead += 1;
      at = star + 1;
      read = starRead;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}
