/** A page of a list, as the contract's lists have it. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string;
}

/** The largest page that the contract gives. */
export const PAGE_SIZE_MAX = 1_000;
/** A list that does not end is a bug, not a fleet; pages may be short, even empty. */
const PAGES_MAX = 10_000;

/**
 * The first items of a list, page after page, at most `limit` of them. `nextPageToken` is empty if that was all.
 *
 * @throws what `read` throws
 */
export async function readPages<T>(
  read: (pageSize: number, pageToken: string) => Promise<Page<T>>,
  limit: number,
): Promise<{ readonly items: T[]; readonly nextPageToken: string }> {
  const items: T[] = [];
  let nextPageToken = '';
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await read(Math.min(PAGE_SIZE_MAX, limit - items.length), nextPageToken);
    items.push(...answer.items);
    nextPageToken = answer.nextPageToken;
    if (nextPageToken === '' || items.length >= limit) break;
  }
  return { items, nextPageToken };
}
