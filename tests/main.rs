mod world;

fn main() {}
