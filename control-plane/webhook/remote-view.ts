import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { bearsOn } from '#policy/analysis/analyse-resource-set.ts';
import type { SourcedResource } from '#policy/resource/sourced-resource.ts';
import type { ClusterView } from '../kubernetes/resources/cluster-view.ts';

/** What a worker asks of the main thread's view: a member of ClusterView by its name, and its arguments. */
export type Question = {
  readonly [K in Asked]: ClusterView[K] extends (...given: infer Given) => unknown
    ? { readonly about: K; readonly given: Given }
    : { readonly about: K; readonly given: readonly [] };
}[Asked];

/** Long documents are read in the thread that judges: it is the other one already. */
type Asked = Exclude<keyof ClusterView, 'longDocuments'>;

/** A resource as it can be sent: without the document that knows its positions. */
type SentResource = Pick<SourcedResource, 'any' | 'file'>;

/** In the main thread: the answer as it can be sent. `namespace`: of the object that is judged. */
export function answerOf(view: ClusterView, question: Question, namespace: string): unknown {
  switch (question.about) {
    case 'mesh':
    case 'namespaces':
    case 'meshDefaults':
      return view[question.about];
    case 'configMapText':
      return view.configMapText(...question.given);
    case 'hostClaim':
      return view.hostClaim(...question.given);
    case 'foreignAddresses':
      return view.foreignAddresses(...question.given);
    case 'isService':
      return view.isService(...question.given);
    case 'serviceAccountsAmong':
      return view.serviceAccountsAmong(...question.given);
    case 'countWorkloads':
      return view.countWorkloads(...question.given);
    case 'good': {
      const found = view.good(...question.given);
      return found === undefined ? undefined : sent(found);
    }
    case 'allGood':
      return [...view.allGood()].filter((other) => bearsOn(other, namespace, view.mesh)).map(sent);
    case 'declaredServices':
      return view.declaredServices(...question.given).map(sent);
  }
}

function sent({ any, file }: SourcedResource): SentResource {
  return { any, file };
}

/** In the worker: the view of the main thread. Each question stops the worker until its answer is there. */
export function remoteView(port: MessagePort, signal: Int32Array<SharedArrayBuffer>): ClusterView {
  const ask = (question: Question): unknown => {
    port.postMessage(question);
    Atomics.wait(signal, 0, 0);
    Atomics.store(signal, 0, 0);
    const answer: unknown = receiveMessageOnPort(port)?.message;
    return answer;
  };
  // What comes back is what `answerOf` took from a ClusterView of the same program.
  const asked = <T>(question: Question): T => ask(question) as T;
  const resources = (question: Question) => asked<readonly SentResource[]>(question).map(received);
  return {
    mesh: asked<ClusterView['mesh']>({ about: 'mesh', given: [] }),
    namespaces: asked<ClusterView['namespaces']>({ about: 'namespaces', given: [] }),
    meshDefaults: asked<ClusterView['meshDefaults']>({ about: 'meshDefaults', given: [] }),
    configMapText: (...given) => asked({ about: 'configMapText', given }),
    hostClaim: (...given) => asked({ about: 'hostClaim', given }),
    foreignAddresses: (...given) => asked({ about: 'foreignAddresses', given }),
    isService: (...given) => asked({ about: 'isService', given }),
    serviceAccountsAmong: (...given) => asked({ about: 'serviceAccountsAmong', given }),
    countWorkloads: (...given) => asked({ about: 'countWorkloads', given }),
    good: (...given) => {
      const found = asked<SentResource | undefined>({ about: 'good', given });
      return found === undefined ? undefined : received(found);
    },
    allGood: () => resources({ about: 'allGood', given: [] }),
    declaredServices: (...given) => resources({ about: 'declaredServices', given }),
  };
}

/** Of others only the file is named; objects of the API begin at line 1. */
function received({ any, file }: SentResource): SourcedResource {
  return { any, file, document: { value: undefined, position: () => ({ line: 1, column: 1 }) }, prefix: [] };
}
