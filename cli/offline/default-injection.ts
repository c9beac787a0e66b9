import {
  INJECTION_CONFIGURATION,
  type InjectionConfiguration,
} from '#control-plane/injection/injection-configuration.ts';
import { textContext } from '#policy/schema/document-context.ts';
import { UsageError } from '../command.ts';

/** The configuration of an injector that is told its image alone. */
export function defaultInjection(image: string): InjectionConfiguration {
  const faults: string[] = [];
  const configuration = INJECTION_CONFIGURATION.read({ image }, [], textContext(faults, '--image'));
  if (configuration === undefined) throw new UsageError(faults.join('; '));
  return configuration;
}
