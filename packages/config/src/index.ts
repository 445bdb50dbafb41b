export { type Field, flag, integer, oneOf, optional, port, secret, text, url } from "./fields.ts";
export { type Config, ConfigError, type ConfigSchema, type Environment, loadConfig } from "./load-config.ts";
