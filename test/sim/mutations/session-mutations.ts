import type { Mutation } from './mutation.js';

/** Of the coordinator's side of a stream. */
export const SESSION_MUTATIONS: readonly Mutation[] = [
  {
    name: 'take-back-and-send',
    breaks: 'an assignment that was taken back leaves all the same',
    promise: 'invariant 4: never two attempts under valid leases',
    file: 'coordinator/session/outbox.ts',
    edits: [
      {
        find: '    this.#unsent.clear();\n',
        replace: "    for (const element of taken) this.#link.enqueue(element, ELEMENT_BYTES, 'data');\n",
      },
    ],
  },
  {
    name: 'take-back-sent',
    breaks: 'what is on the wire is taken back like what has not left',
    promise: 'invariant 4: never two attempts under valid leases',
    file: 'coordinator/session/outbox.ts',
    edits: [
      {
        find: '  readonly #unsent = new Set<string>();',
        replace: '  readonly #unsent = new Set<string>();\n  readonly #all: AttemptRef[] = [];',
      },
      {
        find: '    this.#unsent.add(ref.taskId);\n',
        replace: '    this.#unsent.add(ref.taskId);\n    this.#all.push(ref);\n',
      },
      {
        find: "return taken.flatMap((element) => (element.kind === 'assign' ? [element.ref] : []));",
        replace: 'return taken.length > 0 || this.#all.length > 0 ? this.#all.splice(0) : [];',
      },
    ],
  },
  {
    name: 'number-frames-twice',
    breaks: 'two frames of a stream have the same number',
    promise: 'section 5: a frame that says something has the next seq',
    file: 'proto/frame-link.ts',
    edits: [{ find: '    this.#sentSeq += 1;\n', replace: '    if (this.#sentSeq !== 7) this.#sentSeq += 1;\n' }],
  },
];
