import { create, createFileRegistry, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { buildDescriptorSet } from './descriptor-sets.ts';

/** A service of all four kinds of methods, whose requests have rules. */
export const SHOP_PROTO = `syntax = "proto3";
package shop.v1;
import "buf/validate/validate.proto";

message Item {
  string sku = 1 [(buf.validate.field).string.pattern = "^[A-Z]{3}-[0-9]+$"];
  int32 quantity = 2 [(buf.validate.field).int32 = {gt: 0, lte: 10}];
}
message Order {
  string id = 1 [(buf.validate.field).string.min_len = 1];
  repeated Item items = 2 [(buf.validate.field).repeated.max_items = 1000];
  map<string, int64> totals = 3;
  Kind kind = 4 [(buf.validate.field).enum.defined_only = true];
  Order replaces = 5;
  option (buf.validate.message).cel = {
    id: "order.total", message: "there must be a total", expression: "this.id != 'no-total' || size(this.totals) > 0"
  };
}
enum Kind { KIND_UNSPECIFIED = 0; KIND_PLAIN = 1; }
message Receipt { string id = 1; bytes blob = 2; }
service Orders {
  rpc Place(Order) returns (Receipt);
  rpc PlaceAll(stream Order) returns (Receipt);
  rpc Watch(Order) returns (stream Receipt);
  rpc Talk(stream Order) returns (stream Receipt);
  rpc Withheld(Order) returns (Receipt);
}
`;

/** The same without a rule. */
export const SHOP_PROTO_WITHOUT_RULES = SHOP_PROTO.replaceAll(/\s*\[\(buf\.validate\.field\).*\];/g, ';').replace(
  /\s*option \(buf\.validate\.message\)[^}]*\};/,
  '',
);

/** The descriptor set of SHOP_PROTO, and its messages as bytes. */
export async function shopProto(source = SHOP_PROTO) {
  const set = await buildDescriptorSet({ 'shop/v1/shop.proto': source });
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
  const encode = (name: string, value: object): Buffer => {
    const schema = registry.getMessage(`shop.v1.${name}`);
    if (schema === undefined) throw new Error(`no message ${name}`);
    return Buffer.from(toBinary(schema, create(schema, value as MessageInitShape<typeof schema>)));
  };
  return { set, registry, encode };
}
