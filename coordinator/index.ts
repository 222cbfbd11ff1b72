/**
 * `remuda/coordinator`: a coordinator inside your own program.
 *
 * @example
 * const config = parseConfig(['--listen', 'unix:/run/remuda.sock', '--http', 'off', '--store', 'memory:'], {});
 * const coordinator = new Coordinator(config, { log: pino(), onFatal: (error, code) => process.exit(code) });
 * await coordinator.start();
 */
export {
  Coordinator,
  type CoordinatorAddresses,
  type CoordinatorDeps,
  type CoordinatorObserver,
  type FleetGlance,
} from './coordinator.js';
export { coordinatorConfig, parseConfig, type CoordinatorConfig } from './config.js';
export { UsageExit } from '../proto/program-options.js';
export type { ListenAddress, PassedSockets } from './listen-address.js';
