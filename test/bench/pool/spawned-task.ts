import handlers from './handlers.js';

/** What runs one task, as its process is told in TASK_TYPE and TASK_DATA (JSON), and prints the result as JSON. */
export async function runSpawnedTask(): Promise<void> {
  const { TASK_TYPE: type = '', TASK_DATA: data = 'null' } = process.env;
  if (!(type in handlers)) throw new Error(`TASK_TYPE is "${type}", for which there is no handler`);
  const handler = handlers[type as keyof typeof handlers] as (payload: unknown) => unknown;
  process.stdout.write(JSON.stringify(await handler(JSON.parse(data))));
}
