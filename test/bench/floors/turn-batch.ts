/** The most elements of one frame: the contract's own bound of a client's frame. */
const FRAME_ELEMENTS_MAX = 1_024;

/** Collects what comes up within one turn of the event loop, and hands it on together at the turn's end. */
export class TurnBatch<E> {
  #elements: E[] = [];

  /** @param flush Given at least one element */
  constructor(private readonly flush: (elements: E[]) => void) {}

  push(element: E): void {
    this.#elements.push(element);
    if (this.#elements.length > 1) return;
    setImmediate(() => {
      const elements = this.#elements;
      this.#elements = [];
      this.flush(elements);
    });
  }
}

/** Elements in the order given, as many a frame as it may hold. */
export function* frames<E>(elements: E[]): Generator<E[]> {
  for (let from = 0; from < elements.length; from += FRAME_ELEMENTS_MAX) {
    yield elements.length <= FRAME_ELEMENTS_MAX ? elements : elements.slice(from, from + FRAME_ELEMENTS_MAX);
  }
}
