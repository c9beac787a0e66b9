import { enableCompileCache } from 'node:module';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';

enableCompileCache(); // before the readers are loaded
const { judgeObject } = await import('../kubernetes/resources/judge-object.ts');
const { remoteView } = await import('./remote-view.ts');

/** Given by judge-in-worker.ts. */
const { port, signal }: { port: MessagePort; signal: Int32Array<SharedArrayBuffer> } = workerData;

/** Judges each object it is sent, as JSON, and posts the judgement. */
parentPort?.on('message', (text: string) => {
  const object: unknown = JSON.parse(text);
  parentPort?.postMessage(judgeObject(object, remoteView(port, signal)));
});
