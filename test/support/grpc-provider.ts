import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Test } from 'tap';
import { CheckRequest, CheckResponse } from '#proto/gen/lateral/v1/external_authorization.ts';

type Answer = CheckResponse | Error | 'never' | Buffer;

/** A provider of external authorization by grpc-js. */
export interface GrpcProvider {
  readonly port: number;
  /** What it was asked, in order. */
  readonly asked: CheckRequest[];
  /** How it answers from now on. */
  answer: (request: CheckRequest) => Answer;
}

export const ALLOWED: CheckResponse = { status: { code: 0 }, httpResponse: undefined };

/** With the headers that are given, set. */
export function allowed(headers: { readonly [name: string]: string } = {}): CheckResponse {
  const value = { headers: options(headers), headersToRemove: [], responseHeadersToAdd: [] };
  const queries = { queryParametersToSet: [], queryParametersToRemove: [] };
  return { status: { code: 0 }, httpResponse: { $case: 'okResponse', value: { ...value, ...queries } } };
}

export function denied(code: number, headers: { readonly [name: string]: string } = {}, body = ''): CheckResponse {
  const value = { status: { code }, headers: options(headers), body };
  return { status: { code: 7 }, httpResponse: { $case: 'deniedResponse', value } };
}

export function options(headers: { readonly [name: string]: string }) {
  return Object.entries(headers).map(([key, value]) => ({
    header: { key, value, rawValue: Buffer.alloc(0) },
    append: undefined,
    appendAction: 0,
  }));
}

export async function startGrpcProvider(t: Test): Promise<GrpcProvider> {
  const server = new Server();
  const provider = { port: 0, asked: [] as CheckRequest[], answer: (): Answer => ALLOWED };
  const check = {
    path: '/envoy.service.auth.v3.Authorization/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (request: CheckRequest) => Buffer.from(CheckRequest.encode(request).finish()),
    requestDeserialize: (bytes: Buffer) => CheckRequest.decode(bytes),
    responseSerialize: (answer: CheckResponse | Buffer) =>
      Buffer.isBuffer(answer) ? answer : Buffer.from(CheckResponse.encode(answer).finish()),
    responseDeserialize: (bytes: Buffer) => CheckResponse.decode(bytes),
  } as const;
  const given: GrpcProvider = provider;
  server.addService(
    { check },
    {
      check(call: { request: CheckRequest }, done: (error: Error | null, answer?: CheckResponse | Buffer) => void) {
        given.asked.push(call.request);
        const answer = given.answer(call.request);
        if (answer instanceof Error) done(answer);
        else if (answer !== 'never') done(null, answer);
      },
    },
  );
  provider.port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
  t.teardown(() => server.forceShutdown());
  return given;
}
