/** Where a text stops being JSON. */
export interface JsonFault {
  /** Line, counted from 1. */
  readonly line: number;
  /** Column in characters, counted from 1. */
  readonly column: number;
  /** What stands there: a character in quotes, or the end. */
  readonly found: string;
}

/* eslint-disable no-control-regex -- JSON forbids them in strings, and that is a fault to find */
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const STRING_START = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;
/* eslint-enable no-control-regex */
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/y;
const SPACE = /[ \t\n\r]*/y;

/** What may come next. */
type Expected = 'value' | 'valueOrEnd' | 'key' | 'keyOrEnd' | 'colon' | 'commaOrEnd' | 'nothing';

/**
 * The first place where a text is no JSON; undefined if it is. JSON.parse says where only for some faults, and a person who
 * fights with the shell's quotes needs it for all.
 */
export function findJsonFault(text: string): JsonFault | undefined {
  const open: ('{' | '[')[] = [];
  let expected: Expected = 'value';
  let at = 0;
  const eat = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const length = pattern.exec(text)?.[0].length;
    at += length ?? 0;
    return length !== undefined;
  };
  const afterValue = (): Expected => (open.length === 0 ? 'nothing' : 'commaOrEnd');
  for (;;) {
    eat(SPACE);
    const character = text[at];
    if (character === undefined && expected === 'nothing') return undefined;
    if ((character === '}' || character === ']') && closes(character, expected, open.at(-1))) {
      open.pop();
      at += 1;
      expected = afterValue();
    } else if (expected === 'value' || expected === 'valueOrEnd') {
      if (character === '{' || character === '[') {
        open.push(character);
        at += 1;
        expected = character === '{' ? 'keyOrEnd' : 'valueOrEnd';
      } else if (eat(STRING) || eat(SCALAR)) expected = afterValue();
      else return faultAt(text, inside(text, at));
    } else if (expected === 'key' || expected === 'keyOrEnd') {
      if (!eat(STRING)) return faultAt(text, inside(text, at));
      expected = 'colon';
    } else if (expected === 'colon' && character === ':') {
      at += 1;
      expected = 'value';
    } else if (expected === 'commaOrEnd' && character === ',') {
      at += 1;
      expected = open.at(-1) === '{' ? 'key' : 'value';
    } else return faultAt(text, at);
  }
}

function closes(character: '}' | ']', expected: Expected, innermost: '{' | '[' | undefined): boolean {
  if (character === '}') return innermost === '{' && (expected === 'keyOrEnd' || expected === 'commaOrEnd');
  return innermost === '[' && (expected === 'valueOrEnd' || expected === 'commaOrEnd');
}

/** Within a string the fault is where it breaks, not where it begins. */
function inside(text: string, at: number): number {
  STRING_START.lastIndex = at;
  return at + (STRING_START.exec(text)?.[0].length ?? 0);
}

function faultAt(text: string, at: number): JsonFault {
  const before = text.slice(0, at).split('\n');
  const character = text.codePointAt(at);
  return {
    line: before.length,
    column: [...(before.at(-1) ?? '')].length + 1,
    found: character === undefined ? 'the end' : JSON.stringify(String.fromCodePoint(character)),
  };
}
