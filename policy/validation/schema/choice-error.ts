import { isRecord } from '../../schema/schema.ts';

/** Keyword by which a property says which other schema holds: `{property, branches: {VALUE: NAME}}`. */
export const CHOICE_KEYWORD = 'x-lateral-choice';

/** What is wrong with a value whose discriminator names none of the alternatives, in the form that generated validators give. */
export function choiceError(value: unknown, property: string, tag: unknown) {
  if (!isRecord(value)) return { instancePath: '', keyword: 'discriminator', message: 'must be object', params: {} };
  if (tag === undefined) {
    return { instancePath: '', keyword: 'discriminator', message: `must have property '${property}'`, params: {} };
  }
  const step = property.replaceAll('~', '~0').replaceAll('/', '~1');
  return {
    instancePath: `/${step}`,
    keyword: 'discriminator',
    message: 'must name one of the alternatives',
    params: {},
  };
}
