// Handlers for the tests under systemd. Each start leaves one line in the ledger, outside the system under test.
import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const { LEDGER, RELEASE } = process.env;

function enter(type, ctx) {
  // One small append is atomic, also between processes.
  appendFileSync(LEDGER, `${JSON.stringify({ type, taskId: ctx.taskId, attempt: ctx.attempt, pid: process.pid })}\n`);
}

export default {
  echo: (payload, ctx) => {
    enter('echo', ctx);
    return payload;
  },
  // Runs until the test releases it.
  hold: async (payload, ctx) => {
    enter('hold', ctx);
    while (!existsSync(RELEASE)) await delay(50, undefined, { signal: ctx.signal });
    return { attempt: ctx.attempt };
  },
  // Its first attempt runs until its process is gone, a later one returns at once.
  'hang-once': async (payload, ctx) => {
    enter('hang-once', ctx);
    if (ctx.attempt === 1) await delay(600_000, undefined, { signal: ctx.signal });
    return { attempt: ctx.attempt };
  },
};
