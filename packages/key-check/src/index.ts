export { type KeyChecker, type KeyCheckerOptions, openKeyChecker } from "./open-key-checker.ts";
