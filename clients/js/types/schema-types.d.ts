/**
 * @param {{ entities: { name: string, description?: string, columns?: { name: string, type?: string, nullable?: boolean, description?: string }[] }[] }} schema
 *   as `{base}/schema` has it
 * @returns {string}
 */
export function typesOf({ entities }: {
    entities: {
        name: string;
        description?: string;
        columns?: {
            name: string;
            type?: string;
            nullable?: boolean;
            description?: string;
        }[];
    }[];
}): string;
