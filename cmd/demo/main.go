// Command demo will show the main job in one command.
package main

func main() {}
