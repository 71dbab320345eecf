export const loadPluginModule = async (
  module: string,
  _baseDir: string,
): Promise<{ value: unknown; module: string }> => ({ value: (await import(module)).default, module })
