/** A process per task that loads what a program of some size does: named libraries, unbundled, as they are installed. */
import '@grpc/grpc-js';
import '@bufbuild/protobuf';
import 'commander';
import 'pino';
import { runSpawnedTask } from './spawned-task.js';

await runSpawnedTask();
