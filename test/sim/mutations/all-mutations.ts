import { CORE_MUTATIONS } from './core-mutations.js';
import { ENGINE_MUTATIONS } from './engine-mutations.js';
import type { Mutation } from './mutation.js';
import { SESSION_MUTATIONS } from './session-mutations.js';
import { WORKER_MUTATIONS } from './worker-mutations.js';

/** Every fault of the product that the simulation is held to notice. */
export const MUTATIONS: readonly Mutation[] = [
  ...CORE_MUTATIONS,
  ...ENGINE_MUTATIONS,
  ...SESSION_MUTATIONS,
  ...WORKER_MUTATIONS,
];
