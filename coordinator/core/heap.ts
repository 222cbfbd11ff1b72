/** What a {@link IndexedHeap} holds: it remembers its own place, so that removing it costs O(log n) and no search. */
export interface HeapNode {
  /** Place in the heap; -1 while it is in none. Owned by the heap. */
  heapIndex: number;
}

/** A binary heap whose members can be moved and removed. A node is in at most one heap at a time. */
export class IndexedHeap<T extends HeapNode> {
  readonly #nodes: T[] = [];

  /** @param before True if `a` comes out before `b`. */
  constructor(private readonly before: (a: T, b: T) => boolean) {}

  get size(): number {
    return this.#nodes.length;
  }

  /** The first node, which stays; undefined if there is none. */
  peek(): T | undefined {
    return this.#nodes[0];
  }

  /** All nodes, in no particular order beyond the first. Valid until the heap changes. */
  nodes(): readonly T[] {
    return this.#nodes;
  }

  /** A node that is out of place; undefined if the heap is in order. For invariants. */
  firstMisplaced(): T | undefined {
    return this.#nodes.find((node, index) => {
      const parent = index === 0 ? undefined : this.#nodes[(index - 1) >> 1];
      return node.heapIndex !== index || (parent !== undefined && this.before(node, parent));
    });
  }

  has(node: T): boolean {
    // A read at -1 leaves the engine's fast path.
    return node.heapIndex >= 0 && this.#nodes[node.heapIndex] === node;
  }

  /** Adds the node, or moves it to where its changed order belongs. */
  set(node: T): void {
    if (!this.has(node)) {
      node.heapIndex = this.#nodes.length;
      this.#nodes.push(node);
    }
    this.#up(node);
    this.#down(node);
  }

  /** Takes the node out; nothing happens if it is not in. */
  remove(node: T): void {
    if (!this.has(node)) return;
    const index = node.heapIndex;
    const last = this.#nodes.pop() as T;
    node.heapIndex = -1;
    if (last === node) return;
    this.#place(last, index);
    this.#up(last);
    this.#down(last);
  }

  #place(node: T, index: number): void {
    this.#nodes[index] = node;
    node.heapIndex = index;
  }

  #up(node: T): void {
    while (node.heapIndex > 0) {
      const parentIndex = (node.heapIndex - 1) >> 1;
      const parent = this.#nodes[parentIndex] as T;
      if (!this.before(node, parent)) return;
      this.#place(parent, node.heapIndex);
      this.#place(node, parentIndex);
    }
  }

  #down(node: T): void {
    for (;;) {
      const left = node.heapIndex * 2 + 1;
      if (left >= this.#nodes.length) return;
      const right = left + 1;
      let child = this.#nodes[left] as T;
      if (right < this.#nodes.length && this.before(this.#nodes[right] as T, child)) child = this.#nodes[right] as T;
      if (!this.before(child, node)) return;
      const childIndex = child.heapIndex;
      this.#place(child, node.heapIndex);
      this.#place(node, childIndex);
    }
  }
}
