// Area of a rectangle, with AWS's library for Go.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type rectangle struct {
	Length float64 `json:"length"`
	Width  float64 `json:"width"`
}

type answer struct {
	Area      float64 `json:"area"`
	RequestID string  `json:"requestId"`
}

func handle(ctx context.Context, r rectangle) (answer, error) {
	if r.Length < 0 || r.Width < 0 {
		return answer{}, errors.New("a side is negative")
	}
	fmt.Println("the area is", r.Length*r.Width)
	here, _ := lambdacontext.FromContext(ctx)
	return answer{Area: r.Length * r.Width, RequestID: here.AwsRequestID}, nil
}

func main() { lambda.Start(handle) }
