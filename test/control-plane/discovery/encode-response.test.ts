import t from 'tap';
import { encodeResponse } from '#control-plane/discovery/encode-response.ts';
import { SubscribeResponse, type Update } from '#proto/gen/lateral/v1/discovery.ts';

const resource = (key: string, text: string) => ({
  key,
  version: `version of ${key}`,
  document: Buffer.from(text),
  inChunks: false,
});
const shared = resource('MeshService/shop/orders', 'x'.repeat(300));

const responses: { readonly [name: string]: SubscribeResponse } = {
  'a complete update': update({ upserts: [shared, resource('MeshService/shop/leer', '')] }),
  'an update that shares a resource with another': update({ previousVersion: 'v0', upserts: [shared] }),
  'a removal': update({ previousVersion: 'v1', removedKeys: ['AuthorizationPolicy/shop/a', 'é'] }),
  'an update without changes': update({}),
  'a part of an update': {
    message: {
      $case: 'updatePart',
      value: { upserts: [shared, { ...resource('APISchema/shop/long', ''), inChunks: true }] },
    },
  },
  'a chunk': {
    message: {
      $case: 'documentChunk',
      value: { version: 'v', documentBytes: 300_000, offset: 131_072, data: Buffer.from('data') },
    },
  },
  'a heartbeat': { message: { $case: 'heartbeat', value: { sequence: 7 } } },
  'a tap order': { message: { $case: 'tapOrder', value: { tapId: 'tap', query: 'status=403' } } },
};

function update(fields: Partial<Update>): SubscribeResponse {
  const value = { version: 'v2', previousVersion: '', upserts: [], removedKeys: [], ...fields };
  return { message: { $case: 'update', value } };
}

for (const [name, response] of Object.entries(responses)) {
  t.test(`${name} is read as the generated encoder's`, async (t) => {
    const wanted = SubscribeResponse.decode(SubscribeResponse.encode(response).finish());
    t.strictSame(SubscribeResponse.decode(encodeResponse(response)), wanted);
    t.strictSame(SubscribeResponse.decode(encodeResponse(response)), wanted, 'also from what it keeps');
  });
}
