// Connects to a port of this machine every 20 ms until a file is there, and waits until each connection has been served: the first
// bytes of HTTP/2 are the server's. Tells how many were, and what became of the others.
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const [port, enough] = process.argv.slice(2);
const failed = [];
let served = 0;
const open = new Set();

function dial() {
  const socket = connect(Number(port), '127.0.0.1');
  const over = new Promise((resolve) => {
    let isServed = false;
    socket.once('data', () => {
      isServed = true;
      socket.destroy();
    });
    socket.once('error', ({ code }) => failed.push(code));
    socket.once('close', (hadError) => {
      if (isServed) served += 1;
      else if (!hadError) failed.push('closed without a word');
      resolve();
    });
  });
  open.add(over);
  void over.then(() => open.delete(over));
}

while (!existsSync(enough)) {
  dial();
  await delay(20);
}
await Promise.all(open);
process.stdout.write(JSON.stringify({ served, failed }));
