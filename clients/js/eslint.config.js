import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/types/**", "**/node_modules/**", "**/test/apps/**", "bridge/web/pages/static/client/**"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: "module" },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-console": "off", "no-implicit-globals": "error", "no-shadow": ["error", { builtinGlobals: false }], "no-unused-vars": ["error", { varsIgnorePattern: "^_", argsIgnorePattern: "^_", caughtErrors: "none" }] },
  },
  // `bridge/…`: the explorer, the board and the inspector, linted from the root of the project.
  { files: ["src/**", "bridge/**"], languageOptions: { globals: { ...globals.browser } } },
  { files: ["bin/**", "test/**", "tools/**", "*.js"], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
];
