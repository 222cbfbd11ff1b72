import { describe, expect, it } from 'vitest';
import { coordinatorConfig, parseConfig, type CoordinatorConfig } from '../../../coordinator/config.js';
import { UsageExit } from '../../../proto/program-options.js';

type Env = Readonly<Record<string, string>>;

function usage(argv: readonly string[], env: Env = {}): UsageExit {
  try {
    parseConfig(argv, env);
  } catch (error) {
    if (error instanceof UsageExit) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port });

/** Each flag, a value for it and another, and what they mean. */
const FLAGS: readonly [string, keyof CoordinatorConfig, [string, unknown], [string, unknown], unknown][] = [
  ['listen', 'listen', ['127.0.0.1:1', tcp('127.0.0.1', 1)], ['[::1]:2', tcp('::1', 2)], tcp('127.0.0.1', 7_070)],
  ['http', 'http', ['127.0.0.1:1', tcp('127.0.0.1', 1)], ['off', null], tcp('127.0.0.1', 7_071)],
  ['store', 'store', ['memory:', 'memory:'], ['sqlite:/x.db', 'sqlite:/x.db'], 'sqlite:./remuda.db'],
  ['max-store-bytes', 'maxStoreBytes', ['16777216', 2 ** 24], ['1099511627776', 2 ** 40], 8 * 2 ** 30],
  ['min-free-bytes', 'minFreeBytes', ['0', 0], ['1099511627776', 2 ** 40], 256 * 2 ** 20],
  ['heartbeat-interval', 'heartbeatIntervalMs', ['100ms', 100], ['5m', 300_000], 5_000],
  ['lease', 'leaseMs', ['10s', 10_000], ['1h', 3_600_000], 15_000],
  ['stuck-grace', 'stuckGraceMs', ['100ms', 100], ['10m', 600_000], 10_000],
  ['max-open-tasks', 'maxOpenTasks', ['1', 1], ['10000000', 10_000_000], 1_000_000],
  ['max-payload-bytes', 'maxPayloadBytes', ['1024', 1_024], ['67108864', 67_108_864], 1_048_576],
  ['max-workers', 'maxWorkers', ['1', 1], ['100000', 100_000], 10_000],
  ['balancing', 'balancing', ['round-robin', 'round-robin'], ['least-loaded', 'least-loaded'], 'least-loaded'],
  ['head-start', 'headStartMs', ['0s', 0], ['1h', 3_600_000], 10_000],
  ['log-level', 'logLevel', ['silent', 'silent'], ['trace', 'trace'], 'info'],
];

describe.each(FLAGS)('--%s', (flag, field, [one, oneMeans], [other, otherMeans], byDefault) => {
  const variable = `REMUDA_${flag.replaceAll('-', '_').toUpperCase()}`;

  it('has its default', () => {
    expect(parseConfig([], {})[field]).toEqual(byDefault);
  });

  it('comes before its variable, and that before the default', () => {
    expect(parseConfig([], { [variable]: one })[field]).toEqual(oneMeans);
    expect(parseConfig([`--${flag}`, other], { [variable]: one })[field]).toEqual(otherMeans);
    expect(parseConfig([`--${flag}=${other}`], {})[field]).toEqual(otherMeans);
  });

  it('takes an empty variable as none', () => {
    expect(parseConfig([], { [variable]: '' })[field]).toEqual(byDefault);
  });

  it('is in the help', () => {
    expect(usage(['--help'])).toMatchObject({ code: 0 });
    expect(usage(['--help']).text).toContain(`--${flag} <`);
  });
});

describe('parseConfig, the store', () => {
  it('bounds a store in memory to less by default, and to what it is told', () => {
    expect(parseConfig(['--store', 'memory:'], {})).toMatchObject({ maxStoreBytes: 256 * 2 ** 20 });
    const told = ['--store', 'memory:', '--max-store-bytes', '20000000'];
    expect(parseConfig(told, {})).toMatchObject({ maxStoreBytes: 20_000_000 });
  });

  it.each(['16777215', '1099511627777', '8GiB', '-1', '9'.repeat(16)])('refuses a bound of %s', (text) => {
    const { code, text: said } = usage([`--max-store-bytes=${text}`]);
    expect(code).toBe(2);
    expect(said).toContain(`--max-store-bytes is "${text}": it must be a whole number from 16777216 to 1099511627776`);
  });
});

describe('parseConfig, addresses', () => {
  it.each(['[::]:7070', '0.0.0.0:7070', '10.1.2.3:7070', 'myhost:7070'])(
    'refuses %s without TLS, and names TLS and --insecure',
    (address) => {
      for (const flag of ['--listen', '--http']) {
        const { text, code } = usage([flag, address]);
        expect(code).toBe(2);
        expect(text).toContain(`${flag} is "${address}"`);
        expect(text).toMatch(/TLS.*--insecure/);
      }
    },
  );

  it.each([
    ['the flag', ['--insecure'], {}],
    ['the variable 1', [], { REMUDA_INSECURE: '1' }],
    ['the variable true', [], { REMUDA_INSECURE: 'true' }],
  ])('takes them with %s', (_what, argv, env: Env) => {
    const config = parseConfig([...argv, '--listen', '[::]:7070', '--http', '0.0.0.0:1'], env);
    expect(config).toMatchObject({ insecure: true, listen: tcp('::', 7_070), http: tcp('0.0.0.0', 1) });
  });

  it.each(['0', 'false', ''])('takes REMUDA_INSECURE=%s as no', (value) => {
    expect(parseConfig([], { REMUDA_INSECURE: value }).insecure).toBe(false);
  });

  it('listens on passed sockets alone when it is told systemd, and refuses to start without', () => {
    const passed = (descriptors: number[], text: string) => parseConfig(['--listen', text], {}, descriptors).listen;
    expect(passed([3, 4], 'systemd')).toEqual({ kind: 'passed', descriptors: [3, 4], unused: null });
    expect(passed([3], '127.0.0.1:1')).toMatchObject({ kind: 'passed', unused: { host: '127.0.0.1', port: 1 } });
    expect(() => passed([], 'systemd')).toThrow(
      /--listen is "systemd": .*systemctl restart remuda-coordinator\.socket/,
    );
  });

  it('refuses a REMUDA_INSECURE that is neither', () => {
    expect(usage([], { REMUDA_INSECURE: 'yes' }).text).toContain('REMUDA_INSECURE is "yes"');
  });

  it.each(['127.0.0.1:65536', '127.0.0.1', '7070', '::1:7070', 'unix:', `unix:/${'p'.repeat(100)}`])(
    'refuses %s as no address',
    (address) => {
      expect(usage(['--listen', address]).text).toContain(`--listen is "${address}": `);
    },
  );

  it('takes a socket for either side', () => {
    const config = parseConfig(['--listen', 'unix:/run/a', '--http', 'unix:/run/b'], {});
    expect(config).toMatchObject({ listen: { kind: 'unix', path: '/run/a' }, http: { kind: 'unix', path: '/run/b' } });
  });
});

describe('parseConfig, values', () => {
  it('makes the lease three heartbeats', () => {
    expect(parseConfig(['--heartbeat-interval', '2s'], {}).leaseMs).toBe(6_000);
  });

  it('takes no lease below 1 s, also by default', () => {
    expect(parseConfig(['--heartbeat-interval', '100ms'], {}).leaseMs).toBe(1_000);
    expect(usage(['--heartbeat-interval', '100ms', '--lease', '999ms']).text).toContain('from 1s to 1h');
  });

  it.each([
    ['--heartbeat-interval', '99ms', '100ms to 5m'],
    ['--heartbeat-interval', '6m', '100ms to 5m'],
    ['--lease', '9s', '10s to 1h'],
    ['--lease', '61m', '10s to 1h'],
    ['--lease', '5000', '10s to 1h'],
    ['--stuck-grace', '0s', '100ms to 10m'],
    ['--stuck-grace', '5', '100ms to 10m'],
    ['--stuck-grace', '-5s', '100ms to 10m'],
    ['--stuck-grace', '5 parsecs', '100ms to 10m'],
    ['--head-start', '2h', '0ms to 1h'],
  ])('refuses %s %s as no time within its bounds', (flag, value, bounds) => {
    const { text, code } = usage([`${flag}=${value}`]);
    expect(code).toBe(2);
    expect(text).toContain(`${flag} is "${value}": it must be a time with its unit from ${bounds}`);
  });

  it.each([
    ['--max-open-tasks', '0'],
    ['--max-open-tasks', '10000001'],
    ['--max-payload-bytes', '1023'],
    ['--max-payload-bytes', '67108865'],
    ['--max-payload-bytes', '1e6'],
    ['--max-payload-bytes', '1MiB'],
    ['--max-workers', '1.5'],
    ['--max-workers', '0x10'],
    ['--max-workers', '100001'],
  ])('refuses %s %s as no number within its bounds', (flag, value) => {
    expect(usage([flag, value]).text).toContain(`${flag} is "${value}": it must be a whole number from`);
  });

  it.each([
    ['--balancing', 'random', 'least-loaded, round-robin'],
    ['--log-level', 'loud', 'trace, debug, info, warn, error, fatal, silent'],
  ])('refuses %s %s and names the choices', (flag, value, choices) => {
    expect(usage([flag, value]).text).toContain(`${flag} is "${value}": it must be one of ${choices}`);
  });

  it.each(['postgres://x', 'sqlite:', 'sqlite::memory:', './remuda.db', 'memory'])(
    'refuses store "%s" and names the forms',
    (store) => {
      expect(usage(['--store', store]).text).toMatch(/--store.*sqlite:PATH.*memory:/);
    },
  );
});

describe('parseConfig, faults', () => {
  it('names all of them in one message', () => {
    const argv = ['--listen', '0.0.0.0:1', '--http', 'x', '--store', 'x', '--lease', '1', '--max-workers', '0'];
    const { text, code } = usage([...argv, '--lisen', 'stray', '--log-level', 'x'], { REMUDA_BALANCING: 'x' });
    expect(code).toBe(2);
    for (const part of [
      '--listen is "0.0.0.0:1"',
      '--http is "x"',
      '--store',
      '--lease is "1"',
      '--max-workers is "0"',
      'unknown option --lisen',
      '"stray"',
      '--log-level is "x"',
      '--balancing is "x"',
      '--help',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('refuses a flag without its value', () => {
    const { text, code } = usage(['--listen']);
    expect(code).toBe(2);
    expect(text).toContain('--listen');
  });

  it('shows its version', () => {
    const { text, code } = usage(['--version']);
    expect(code).toBe(0);
    expect(text).toMatch(/^\d+\.\d+\.\d+/);
  });
});

describe('a config made of parts', () => {
  it('has the defaults of the flags', () => {
    expect(coordinatorConfig()).toEqual(parseConfig([], {}));
  });

  it('has the parts as they are, and what depends on them', () => {
    const parts = { http: null, store: 'memory:', heartbeatIntervalMs: 200, balancing: 'round-robin' } as const;
    const flags = [
      '--http',
      'off',
      '--store',
      'memory:',
      '--heartbeat-interval',
      '200ms',
      '--balancing',
      'round-robin',
    ];
    expect(coordinatorConfig(parts)).toEqual(parseConfig(flags, {}));
    expect(coordinatorConfig({ ...parts, leaseMs: 7, maxStoreBytes: 8 })).toMatchObject({
      leaseMs: 7,
      maxStoreBytes: 8,
    });
  });
});
