import { afterEach, describe, expect, it } from 'vitest';
import { createClient } from '../../client/index.js';
import { endPrograms, startCoordinator, startWorker } from '../support/programs.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(endPrograms);

const MIB = 1_048_576;

describe('a payload above the 4 MiB that gRPC takes by default', () => {
  it('travels to the handler and back whole, over every hop, where the coordinator allows it', async () => {
    await using place = await makeFolder();
    const bound = 5 * MIB;
    const { address } = await startCoordinator(['--max-payload-bytes', String(bound), '--store', place.store]);
    await startWorker(HANDLERS, address, ['--worker-id', 'w'], place);
    await using client = createClient({ address, maxPayloadBytes: bound });
    // With its quotes it is exactly as large as may be.
    const text = 'x'.repeat(bound - 2);
    const result = await client.run('echo', text);
    expect(result === text).toBe(true);
    expect(place.entries()).toHaveLength(1);
  });
});
