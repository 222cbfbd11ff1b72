/** The least that a process per task can be: the handlers, and nothing else to load. */
import { runSpawnedTask } from './spawned-task.js';

await runSpawnedTask();
