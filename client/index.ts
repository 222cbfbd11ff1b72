/**
 * `remuda/client`: calling a coordinator from TypeScript. So far one thing exists: a connection that calls the unary methods of
 * the contract, with the error type and the descriptors of `remuda/proto`.
 */
export { DEFAULT_ADDRESS } from './address.js';
export {
  CONNECTION_LOST,
  COORDINATOR_UNREACHABLE,
  MAX_PAYLOAD_BYTES,
  NOT_A_COORDINATOR,
  NOT_SENT,
  RpcChannel,
  type RpcCallOptions,
  type RpcChannelOptions,
} from './rpc.js';
