public final class Tier { public static void main(String[] a) {} }
