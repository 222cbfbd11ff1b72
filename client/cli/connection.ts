import type { Command } from 'commander';
import { DEFAULT_ADDRESS } from '../address.js';
import { RpcChannel } from '../rpc.js';

/** The coordinator's address: --address before REMUDA_ADDRESS before the default. */
export function addressOf(command: Command, env: NodeJS.ProcessEnv): string {
  const { address } = command.optsWithGlobals<{ readonly address?: string }>();
  return address ?? (env['REMUDA_ADDRESS'] || DEFAULT_ADDRESS);
}

/** What a person types next, such as `get ID`, at the coordinator that --address named for this command. */
export function commandLine(next: string, command: Command): string {
  const { address } = command.optsWithGlobals<{ readonly address?: string }>();
  return `remuda ${next}${address === undefined ? '' : ` --address ${shellWord(address)}`}`;
}

function shellWord(text: string): string {
  return /^[\w.:/@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Runs something with a connection to the coordinator, and closes it. */
export async function withChannel<T>(address: string, work: (channel: RpcChannel) => Promise<T>): Promise<T> {
  using channel = new RpcChannel(address);
  return await work(channel);
}
