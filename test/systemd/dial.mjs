// Connects to a port of this machine, again and again until a file is there; then tells how often it could, and why not.
import { existsSync } from 'node:fs';
import { connect } from 'node:net';

const [port, enough] = process.argv.slice(2);
let connected = 0;
const refused = [];

while (!existsSync(enough)) {
  await new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1');
    socket.once('connect', () => {
      connected += 1;
      socket.destroy();
    });
    socket.once('error', ({ code }) => refused.push(code));
    socket.once('close', () => setTimeout(resolve, 5));
  });
}
process.stdout.write(JSON.stringify({ connected, refused }));
