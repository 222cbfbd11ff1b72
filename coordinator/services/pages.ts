import { FleetError, quoted, type FieldViolation } from '../../proto/fleet-error.js';

/** What every list of the contract asks for. */
export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1_000;

/** What a page begins after, and how many it may have. */
export interface Page {
  /** What {@link pageToken} was given; empty for the first page. */
  readonly after: string;
  readonly limit: number;
}

/**
 * Checks a page request as a whole.
 *
 * @param isOurs True if a token may hold this.
 * @throws FleetError INVALID_ARGUMENT / INVALID_PAGE
 */
export function parsePage({ pageSize, pageToken: token }: PageRequest, isOurs: (after: string) => boolean): Page {
  const faults: FieldViolation[] = [];
  if (pageSize < 0) {
    faults.push({ field: 'page_size', description: `is ${pageSize}; it must be 0 (the default) or more` });
  }
  const after = Buffer.from(token, 'base64url').toString();
  if (token !== '' && (pageToken(after) !== token || !isOurs(after))) {
    const description = `is ${quoted(token)}, which did not come from here; use next_page_token as it is, with the same filter`;
    faults.push({ field: 'page_token', description });
  }
  if (faults.length > 0) throw FleetError.invalid('INVALID_PAGE', faults);
  return { after, limit: pageSize === 0 ? DEFAULT_PAGE_SIZE : Math.min(pageSize, MAX_PAGE_SIZE) };
}

/** Opaque to callers: what the next page begins after. */
export function pageToken(after: string): string {
  return Buffer.from(after).toString('base64url');
}
