import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isRecord } from '#policy/schema/schema.ts';

const DOWNLOAD_TIMEOUT_MS = 240_000;
const peers = fileURLToPath(new URL('../peers', import.meta.url));
const run = promisify(execFile);

/**
 * The folder of a module's files, in the version that go.mod of test/peers/`folder` names, held against its go.sum. Undefined
 * without a `go` on this machine; a download that fails is a failure.
 */
export async function goModuleFolder(folder: string, module: string): Promise<string | undefined> {
  try {
    const options = { cwd: join(peers, folder), timeout: DOWNLOAD_TIMEOUT_MS };
    const { stdout } = await run('go', ['mod', 'download', '-json', module], options);
    const answer: unknown = JSON.parse(stdout);
    if (isRecord(answer) && typeof answer['Dir'] === 'string') return answer['Dir'];
    throw new Error(`go mod download ${module} names no folder`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
