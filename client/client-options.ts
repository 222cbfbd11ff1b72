import { HOUR_MS, MAX_STREAM_AWAITS } from '../proto/bounds.js';
import { addressFault, DEFAULT_ADDRESS, dialTarget } from './address.js';
import { OptionFaults } from './option-faults.js';

/** Options of createClient(). */
export interface ClientOptions {
  /** The coordinator: HOST:PORT or unix:PATH. Default `127.0.0.1:7070`. */
  readonly address?: string;
  /**
   * How long a connection attempt may take, and how long calls wait for a coordinator that has never answered, in milliseconds,
   * 1 to 3,600,000. Default 5,000.
   */
  readonly connectTimeoutMs?: number;
  /** Also for a coordinator that has never answered, calls wait as long as their signals let them. Default false. */
  readonly waitForReady?: boolean;
  /** How long the answer to `get`, `list`, `cancel`, `requeue` and `delete` may take, in milliseconds, 1 to 3,600,000. Default 10,000. */
  readonly callTimeoutMs?: number;
  /**
   * Tasks in flight at a time: `submit` until its acknowledgement, `run` and `result` until the task's end. Further calls wait
   * their turn. 1 to 65,536. Default 4,096.
   */
  readonly maxInFlight?: number;
  /** The same in bytes of what is not acknowledged; one larger task alone is let through. 1 to 2^40. Default 67,108,864. */
  readonly maxInFlightBytes?: number;
  /** Calls that may wait their turn; more are refused (TOO_MANY_WAITING). 1 to 10,000,000. Default 1,000,000. */
  readonly maxWaiting?: number;
  /** The bound of one payload, checked before it is sent; the coordinator has its own. 1 to 67,108,864. Default 1,048,576. */
  readonly maxPayloadBytes?: number;
}

/** Options, validated, with defaults. */
export type CompiledClientOptions = Required<ClientOptions>;

const DEFAULTS = {
  address: DEFAULT_ADDRESS,
  connectTimeoutMs: 5_000,
  waitForReady: false,
  callTimeoutMs: 10_000,
  maxInFlight: 4_096,
  maxInFlightBytes: 64 * 1_048_576,
  maxWaiting: 1_000_000,
  maxPayloadBytes: 1_048_576,
} as const satisfies CompiledClientOptions;

/**
 * Checks options and fills in defaults.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_OPTIONS with every fault in one message
 */
export function compileClientOptions(options: unknown): CompiledClientOptions {
  const faults = new OptionFaults();
  const given = faults.object('options', options, Object.keys(DEFAULTS));
  const integer = (name: keyof typeof DEFAULTS, max: number, unit = ''): number =>
    faults.integer(name, given[name], 1, max, unit) ?? Number(DEFAULTS[name]);
  const compiled = {
    address: readAddress(given['address'], faults),
    connectTimeoutMs: integer('connectTimeoutMs', HOUR_MS, 'milliseconds'),
    waitForReady: faults.boolean('waitForReady', given['waitForReady']) ?? DEFAULTS.waitForReady,
    callTimeoutMs: integer('callTimeoutMs', HOUR_MS, 'milliseconds'),
    maxInFlight: integer('maxInFlight', MAX_STREAM_AWAITS),
    maxInFlightBytes: integer('maxInFlightBytes', 2 ** 40, 'bytes'),
    maxWaiting: integer('maxWaiting', 10_000_000),
    maxPayloadBytes: integer('maxPayloadBytes', 64 * 1_048_576, 'bytes'),
  };
  faults.throwIfAny('INVALID_OPTIONS');
  return compiled;
}

function readAddress(given: unknown, faults: OptionFaults): string {
  const isText = (text: string): boolean => text !== '';
  const address = faults.text('address', given, isText, 'HOST:PORT or unix:PATH') ?? DEFAULTS.address;
  const fault = addressFault(address);
  if (fault === undefined) return dialTarget(address);
  faults.add('address', fault.replace(/^the address /, ''));
  return address;
}
