// Handlers for the end-to-end tests: each entry leaves one line in the ledger, outside the system under test.
import { appendFileSync, existsSync } from 'node:fs';

const ledger = process.env.E2E_LEDGER;

function enter(type, payload, ctx) {
  if (ledger === undefined) return;
  // One small append is atomic, also between processes.
  appendFileSync(ledger, `${JSON.stringify({ type, taskId: ctx.taskId, attempt: ctx.attempt, pid: process.pid })}\n`);
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

export default {
  echo: async (payload, ctx) => {
    enter('echo', payload, ctx);
    return payload;
  },
  sleep: async ({ ms, value }, ctx) => {
    enter('sleep', null, ctx);
    await sleep(ms, ctx.signal);
    return value;
  },
  // Runs until the test makes this file.
  'until-file': async ({ path }, ctx) => {
    enter('until-file', null, ctx);
    while (!existsSync(path)) await sleep(20, ctx.signal);
    return path;
  },
  // Runs on the first attempt until it is killed, and returns at once on any later one.
  'hang-once': async (payload, ctx) => {
    enter('hang-once', payload, ctx);
    if (ctx.attempt === 1) await sleep(600_000, ctx.signal);
    return { attempt: ctx.attempt, pid: process.pid };
  },
  block: async ({ ms }, ctx) => {
    enter('block', null, ctx);
    const end = Date.now() + ms;
    while (Date.now() < end);
    return 'done';
  },
  'fail-once': async (payload, ctx) => {
    enter('fail-once', payload, ctx);
    if (ctx.attempt === 1) throw new Error('the first attempt fails');
    return ctx.attempt;
  },
  // Ends its process as soon as it is entered.
  vanish: (payload, ctx) => {
    enter('vanish', payload, ctx);
    process.kill(process.pid, 'SIGKILL');
  },
  fail: async ({ message }, ctx) => {
    enter('fail', null, ctx);
    throw new Error(message);
  },
};
