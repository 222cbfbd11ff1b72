// @ts-check

/**
 * @typedef {object} TextStatistics
 * @property {number} bytes
 * @property {number} lines newline characters, as `wc -l`: text after the last one is not counted as a line
 * @property {number} words longest runs of characters that are not white space, as `wc -w`
 * @property {number} characters Unicode code points, newlines included, as `wc -m`
 * @property {{ number: number, characters: number }} longestLine the first of the longest lines: its number from 1 and its
 *   length without the newline. Text after the last newline takes part. Number 0: the file is empty
 */

/** White space beyond ASCII: what GNU `wc` takes for it in a UTF-8 locale, which includes the no-break spaces. */
const WIDE_SPACES = new Set([
  0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029,
  0x202f, 0x205f, 0x2060, 0x3000,
]);

const NEWLINE = 0x0a;

/**
 * Counts UTF-8 text that arrives in chunks, wherever they are cut. Bytes that are not UTF-8 are counted as the replacement
 * characters (U+FFFD) that a browser would show for them, and belong to a word.
 */
export class TextStats {
  // ignoreBOM keeps a byte order mark in the text: it is a character of the file.
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #bytes = 0;
  #lines = 0;
  #words = 0;
  #characters = 0;
  #inWord = false;
  #lineCharacters = 0;
  #longest = { number: 0, characters: 0 };

  /** @param {Uint8Array} chunk */
  update(chunk) {
    this.#bytes += chunk.length;
    this.#scan(this.#decoder.decode(chunk, { stream: true }));
  }

  /** @returns {TextStatistics} */
  finish() {
    this.#scan(this.#decoder.decode());
    if (this.#lineCharacters > 0) this.#endLine(this.#lineCharacters);
    return {
      bytes: this.#bytes,
      lines: this.#lines,
      words: this.#words,
      characters: this.#characters,
      longestLine: { ...this.#longest },
    };
  }

  /** @param {string} text */
  #scan(text) {
    // Local variables instead of fields: this loop is where the time goes.
    let words = 0;
    let characters = 0;
    let lineCharacters = this.#lineCharacters;
    let inWord = this.#inWord;
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      // The second half of a surrogate pair belongs to the character before it; the decoder makes no lone halves.
      if ((unit & 0xfc00) === 0xdc00) continue;
      characters += 1;
      lineCharacters += 1;
      if (!isSpace(unit)) {
        if (!inWord) words += 1;
        inWord = true;
        continue;
      }
      inWord = false;
      if (unit !== NEWLINE) continue;
      this.#endLine(lineCharacters - 1);
      this.#lines += 1;
      lineCharacters = 0;
    }
    this.#words += words;
    this.#characters += characters;
    this.#lineCharacters = lineCharacters;
    this.#inWord = inWord;
  }

  /** @param {number} characters */
  #endLine(characters) {
    if (characters > this.#longest.characters || this.#longest.number === 0) {
      this.#longest = { number: this.#lines + 1, characters };
    }
  }
}

/** @param {number} unit */
function isSpace(unit) {
  if (unit <= 0x20) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
  return unit >= 0xa0 && WIDE_SPACES.has(unit);
}
