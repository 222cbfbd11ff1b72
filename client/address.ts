import { resolve } from 'node:path';

/** Where a coordinator listens unless told otherwise. */
export const DEFAULT_ADDRESS = '127.0.0.1:7070';

/** Longer socket paths are cut by the system at 107 bytes, silently. */
const SOCKET_PATH_BYTES_MAX = 100;
const WANTED = `it must be HOST:PORT or unix:PATH, for instance ${DEFAULT_ADDRESS}`;

/** What is wrong with an address; undefined if nothing. */
export function addressFault(address: string): string | undefined {
  if (address.startsWith('unix:')) {
    const given = address.slice('unix:'.length);
    if (given === '') return `the address is "unix:" without a path; ${WANTED}`;
    const path = resolve(given);
    const bytes = Buffer.byteLength(path);
    if (bytes <= SOCKET_PATH_BYTES_MAX) return undefined;
    return `the address names a socket path of ${bytes} bytes, ${path}; the bound is ${SOCKET_PATH_BYTES_MAX}`;
  }
  const match = /^(?:\[[0-9A-Fa-f:.%]+\]|[^:/\s[\]]+):(?<port>\d{1,5})$/.exec(address);
  const port = Number(match?.groups?.['port']);
  if (match !== null && port >= 1 && port <= 65_535) return undefined;
  return `the address is ${JSON.stringify(address.slice(0, 200))}; ${WANTED}`;
}

/** An address without a fault as grpc-js takes it: HOST:PORT as it is, and the path of a Unix socket made absolute. */
export function dialTarget(address: string): string {
  return address.startsWith('unix:') ? `unix:${resolve(address.slice('unix:'.length))}` : address;
}
