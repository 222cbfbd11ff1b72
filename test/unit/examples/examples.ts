import type { FileHandle } from 'node:fs/promises';

/**
 * The examples are JavaScript that is run as it is and is no part of the build; `docs/examples/tsconfig.json` checks their
 * types. So they are loaded as the worker loads a handlers file, by URL, and these are the types that the tests rely on.
 */
const load = (path: string): Promise<unknown> =>
  import(new URL(`../../../docs/examples/${path}`, import.meta.url).href);

type Run<Result> = (payload: unknown, ctx: Context) => Promise<Result>;

export interface Context {
  readonly taskId: string;
  readonly attempt: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly draining: boolean;
  progress(value: unknown): void;
  readonly logger: Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>;
}

export interface TextStatistics {
  readonly bytes: number;
  readonly lines: number;
  readonly words: number;
  readonly characters: number;
  readonly longestLine: { readonly number: number; readonly characters: number };
}

export interface Handlers {
  setup(): Promise<void>;
  teardown(): Promise<void>;
  readonly 'file.stats': Run<TextStatistics & { readonly path: string }>;
  readonly 'file.checksum': Run<{ readonly path: string; readonly sha256: string; readonly bytes: number }>;
  readonly 'file.gzip': {
    readonly slots: number;
    readonly timeout: number;
    readonly run: Run<{
      readonly path: string;
      readonly target: string;
      readonly bytes: number;
      readonly targetBytes: number;
    }>;
  };
  readonly echo: (payload: unknown) => Promise<unknown>;
  readonly sleep: Run<{ readonly ms: number }>;
  readonly fail: Run<{ readonly attempt: number }>;
}

export interface HandlersModule {
  readonly default: Handlers;
  createHandlers(options: {
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly nowMs?: () => number;
  }): Handlers;
}

export interface Root {
  openFile(path: string): Promise<{ readonly handle: FileHandle }>;
  openPlace(target: string): Promise<{ readonly directory: FileHandle; readonly at: (name: string) => string }>;
}

export const { default: defaultHandlers, createHandlers } = (await load('handlers.mjs')) as HandlersModule;

export const { RootDirectory } = (await load('lib/root.mjs')) as {
  readonly RootDirectory: { open(path: string, options?: { readonly fdDirectory?: string }): Promise<Root> };
};

export const { TextStats } = (await load('lib/text-stats.mjs')) as {
  readonly TextStats: new () => { update(chunk: Uint8Array): void; finish(): TextStatistics };
};
