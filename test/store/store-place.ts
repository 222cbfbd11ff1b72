import type { Store } from '../../coordinator/store/store.js';

/** Somewhere that stores can be opened on, one after the other. */
export interface StorePlace {
  /** A store on this place, not yet opened; closed after the test. */
  store(): Store;
  /** Makes the place belong to a newer opener than any so far, behind the back of the one that has it. */
  takeOver(): Promise<void>;
}

/** Opens a store on a place, by default on an empty one. */
export type Opened = (place?: StorePlace) => Promise<Store>;
